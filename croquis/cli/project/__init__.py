"""Commands that work on a project's folder: its params, pipeline, studies, runs and pictures. One file each."""
