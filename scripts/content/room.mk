deploy-edge: .venv/ready ## deploy admit-reader to Lambda@Edge for ENV, and print the version for the distribution
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) python scripts/content/lambda_edge.py $(ENV)

rotate-key: .venv/ready ## do the next of three steps that change the key which signs cookies in ENV; NOW=1 does not wait for old ones
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) python scripts/content/rotate_key.py $(ENV) $(NOW)
