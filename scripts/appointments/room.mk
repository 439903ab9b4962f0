# Number of slots that `make load` books.
export BOOKINGS ?= 2000

backfill: .venv/ready ## archive the items of ENV's table that the archive lacks; again to follow it, or to start another
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) python scripts/appointments/backfill.py $(ENV) $(if $(GRACE_SECONDS),--grace-seconds $(GRACE_SECONDS))

drill: .venv/ready ## lose ITEMS (100,000) in all ways, and restore them while functions are killed; after make test or make up
	ITEMS=$(or $(ITEMS),100000) python -m pytest -s $(wildcard tests/appointments/test_*_drill.py)

offer: .venv/ready ## offer the slots of the file CSV in ENV; without a file, some of the coming weeks
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) python scripts/appointments/offer.py $(ENV) $(if $(CSV),--csv "$(CSV)")

forget: .venv/ready ## cancel the appointments of the student STUDENT_ID in ENV, and delete what the tables have of the student
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) python scripts/appointments/forget.py $(ENV) --student-id "$(STUDENT_ID)"
