"""The trained model as others can use it: a folded stock Phi-3, GGUF files, a Modelfile."""
