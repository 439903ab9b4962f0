# How many slots `make load` books.
export BOOKINGS ?= 2000

backfill: .venv/ready ## archive what is in the table of ENV and not in the archive; again to follow it, or to start another
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) python scripts/appointments/backfill.py $(ENV) $(if $(GRACE_SECONDS),--grace-seconds $(GRACE_SECONDS))

drill: .venv/ready ## lose 100,000 items in all ways and bring them back, killing what does so; after make test or make up
	python -m pytest -s tests/appointments/drill_redrive.py
	python -m pytest -s tests/appointments/drill_backfill.py
	python -m pytest -s tests/appointments/drill_reconciliation.py
