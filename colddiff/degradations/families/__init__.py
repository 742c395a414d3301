"""What several degradations share: blends, separable maps, masks around a centre, mixes of noise, black boxes."""
