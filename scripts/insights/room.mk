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
