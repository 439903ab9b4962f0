# The engines that run the jobs on this machine. Each has an environment of its own, because both bring the module pyspark, and are large.
.venv/insights/ready: jobs/insights/requirements.txt constraints.txt .venv/ready
	$(PYTHON) -m venv .venv/insights
	.venv/insights/bin/python -m pip install --quiet --disable-pip-version-check -r $< -c constraints.txt
	@touch $@

.venv/spark/ready: tests/insights/requirements.txt constraints.txt .venv/ready
	$(PYTHON) -m venv .venv/spark
	.venv/spark/bin/python -m pip install --quiet --disable-pip-version-check -r $< -c constraints.txt
	@touch $@

FOR_TESTS += .venv/insights/ready .venv/spark/ready
# The local cloud runs jobs in it.
export EMR_SERVERLESS_PYTHON := $(CURDIR)/.venv/insights/bin/python
permissions $(if $(filter insights,$(ROOM)),up): .venv/insights/ready

insights: .venv/ready ## make a report on all appointments in ENV, show how far it is, and print where the page is
	$(call one_of,ENV,$(ENVIRONMENTS))
	@$(IN_ENV) python scripts/insights/make_insights.py $(ENV)
