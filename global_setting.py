"""User settings of Crowd3D: edit what you need, every line has a working default.

Each name can also be set for one run by the environment variable CROWD3D_<NAME>, which wins: CROWD3D_ALPHAPOSE_ROOT=/opt/AlphaPose.
Relative paths here start at the folder of this file; relative paths in the environment start at the current folder.
An empty string means "not set". A package that was installed without a checkout reads the same names from global_setting.py in the user's
folder for settings: ~/.config/crowd3d on Linux, ~/Library/Application Support/crowd3d on macOS, %APPDATA%\\crowd3d on Windows.
"""

alphapose_root = ""  # checkout of AlphaPose, see the README; empty: AlphaPose is not used
alphapose_python = ""  # interpreter of the environment in which AlphaPose is installed; empty: `python` on PATH

smpl_model_root = "Crowd3DNet/public_params/model_data/parameters/smpl"  # SMPL_NEUTRAL.pkl and its companions
crowd3dnet_weights = ""  # empty: Crowd3DNet/pretrained/base_69.pkl when it is there, else the shipped default

single_image_mid_root = "single_image/single_image_mid"  # intermediate files, one folder per image
single_image_res_root = "single_image/single_image_res"  # results, one folder per image

train_data_root = "data/train_data"
largecrowd_root = "data/largecrowd"
test_mid_root = "test/test_mid"  # LargeCrowd benchmark, intermediate files
test_res_root = "test/test_res"  # LargeCrowd benchmark, results

models = ""  # networks that `crowd3d fetch people` brings; empty: crowd3d in the user's cache folder, shared by all checkouts
