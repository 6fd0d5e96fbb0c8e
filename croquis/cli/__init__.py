"""Commands of the project, one file each. They put rooms together; no logic that another room could need."""
