"""Match links: rescale the whole batch, so that estimators are compared at equal update mass. One file each."""
