import create_account_textbook
from instrumented import instrumented

handler = instrumented(create_account_textbook.handler, "student_id")
