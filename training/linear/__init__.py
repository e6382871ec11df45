"""Linear CF estimators: ridge regression from the outputs of a frozen encoder to item factors."""
