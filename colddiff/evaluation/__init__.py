"""Metrics, reports, and what they recommend.

`report.evaluate` gives samplers what a restore would have and keeps numbers per image, so that `conclusion.conclude`
can compare ways to restore on the same images: the fewest calls that are not worse than the best by more than 1%, by
the 95% interval of the differences. FID and KID see features through `features.choose_features`: Inception, any
module, or `rotation_classifier.RotationClassifier`, which is trained on the data set to tell quarter turns and needs
no labels. A classical restorer stands beside the learned one wherever `baselines` has one, chosen by what the
operator claims and implements: the Wiener estimate for a `spectrum`, the mean image where pixels are lost of a
pointwise operator that can be read off the picture, bicubic enlargement for `block_sides`. `memorization` compares
new images with their nearest training images, and those distances with the ones of held-out images that are no
training images themselves.

The first sentences say whether more than one call is worth it, and `plots.plot` draws it. What the network does best
per goal and start, by the same rule and whatever else is better (which is stored beside it), is what `Run.restore`
takes where nobody chose: `recommend.save_recommendation` writes it into the run, if 32 images or more of 8 bits that
the training held out were measured, and in place of nothing that was measured on more.

`restoration_table` and `compare` (of `paper`) train what is missing (`train.trained`: a run that is there is used if
it was made with the same settings, gone on with if it was cut) and measure; where Inception cannot be had,
`feature_ensemble` is three classifiers trained apart, and `Direction` says whether they agree. Published numbers are
in `published`, experiments in `presets`, methods in `methods`.
"""
