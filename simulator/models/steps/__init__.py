"""Steps of models as op graphs: how a model lies on chips, and its forward, backward and optimizer ops."""
