"""Maps, mixtures and boxes that layers of several families compute with."""
