import notify_student_textbook
from instrumented import instrumented

handler = instrumented(notify_student_textbook.handler, "student_id")
