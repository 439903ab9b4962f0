# Number of slots that `make load` books.
export BOOKINGS ?= 2000
# Number of items that `make drill` loses.
export ITEMS ?= 100000

backfill: .venv/ready ## archive the items of ENV's table that the archive lacks; again to follow it, or to start another
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) python scripts/appointments/backfill.py $(ENV) $(if $(GRACE_SECONDS),--grace-seconds $(GRACE_SECONDS))

# The reconciliation's drill comes first: the others leave rows that a reconciliation does not expect.
drill: .venv/ready ## lose ITEMS (100,000) in all ways, and restore them while functions are killed; after make test or make up
	python -m pytest -s tests/appointments/drill_reconciliation.py tests/appointments/drill_backfill.py tests/appointments/drill_redrive.py
