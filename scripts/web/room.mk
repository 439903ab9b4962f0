publish: .venv/ready ## upload the pages of ENV; make deploy and make up do this, too
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) for script in $(wildcard scripts/*/publish.py); do python $$script $(ENV) || exit 1; done
