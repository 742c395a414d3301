"""How long operators, sampler steps and networks take, beside others."""
