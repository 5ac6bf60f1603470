"""What every explanation stands on: inputs, targets, gradients, feature maps."""
