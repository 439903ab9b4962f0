deploy-edge: .venv/ready ## deploy admit-reader to Lambda@Edge for ENV, and print the version for the distribution
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) python scripts/content/lambda_edge.py $(ENV)

rotate-key: .venv/ready ## do the next of three steps that change the key which signs cookies in ENV; NOW=1 does not wait for old ones
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) python scripts/content/rotate_key.py $(ENV) $(NOW)

materials: .venv/ready ## upload the course material in DIR for ENV, and list it
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) python scripts/content/materials.py $(ENV) "$(DIR)"

pay: .venv/ready ## announce in ENV that STUDENT has paid, for 90 days or UNTIL=2027-03-31, or with LAPSE=1 no longer has
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) python scripts/content/pay.py $(ENV) "$(STUDENT)" $(if $(UNTIL),--until "$(UNTIL)") $(if $(LAPSE),--lapse)
