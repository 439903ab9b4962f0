publish: .venv/ready ## upload the pages of ENV; make deploy and make up do this, too
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) python scripts/web/publish.py $(ENV)
