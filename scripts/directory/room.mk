promise: .venv/ready ## read the directory READS (10,000) times, and see no answer older than an answered change; after make test
	READS=$(or $(READS),10000) python -m pytest -s tests/directory/test_promise.py
