"""One retriever as params.yaml has it: data, net, plan and export, and the same once more on the labels of all splits."""
