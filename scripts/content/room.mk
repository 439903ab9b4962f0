deploy-edge: .venv/ready ## deploy admit-reader to Lambda@Edge for ENV, and print the version for the distribution
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) python scripts/content/lambda_edge.py $(ENV)
