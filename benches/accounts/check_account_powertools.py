import check_account_textbook
from instrumented import instrumented

handler = instrumented(check_account_textbook.handler, "outcome")
