# Number of students that sign up in `make load`.
export SIGN_UPS ?= 200

runs: .venv/ready ## show the newest executions of the account workflow in the local cloud, state by state
	@$(IN_LOCAL) python scripts/accounts/runs.py local

picture: .venv/ready ## draw the account workflow's definition into docs/accounts/workflow.md
	@python scripts/accounts/picture.py
