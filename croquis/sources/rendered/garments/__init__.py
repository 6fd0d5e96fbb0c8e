"""What a garment is: its parameters and the shapes, cloth and colours that follow. No camera, no scene."""
