import validate_account_textbook
from instrumented import instrumented

handler = instrumented(validate_account_textbook.handler, "outcome")
