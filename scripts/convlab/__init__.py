"""convlab, controlled experiments on image classifiers: the library behind the scripts.

Arrays and data frames in, arrays and data frames out; files and devices are the scripts' business.
"""
