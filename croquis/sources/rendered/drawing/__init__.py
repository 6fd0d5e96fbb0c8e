"""What drawing garments needs: camera, geometry, raster graphics, occluders. Nothing of garments."""
