# How many slots `make load` books.
export BOOKINGS ?= 2000
# How many items `make drill` loses.
export ITEMS ?= 100000

backfill: .venv/ready ## archive what is in the table of ENV and not in the archive; again to follow it, or to start another
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) python scripts/appointments/backfill.py $(ENV) $(if $(GRACE_SECONDS),--grace-seconds $(GRACE_SECONDS))

# The others leave rows that the reconciliation does not expect.
drill: .venv/ready ## lose ITEMS (100,000) in all ways and bring them back, killing what does so; after make test or make up
	python -m pytest -s tests/appointments/drill_reconciliation.py tests/appointments/drill_backfill.py tests/appointments/drill_redrive.py
