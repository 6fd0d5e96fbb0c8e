"""ONNX graphs at run time: encoder, generator, classifier. No torch; batches in, arrays out."""
