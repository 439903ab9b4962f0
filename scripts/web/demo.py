"""Prints the address of the pages, and how to sign in there as staff."""

import secrets
import sys

from stack import of_environment

STAFF = "staff@school.example"


def main() -> None:
    stack = of_environment(sys.argv[1])
    print(f"Pages      {stack.outputs['WebUrl']}")
    print(f"APIs       {stack.outputs['WebUrl']}/api.html")
    # A password that is printed is for this machine only.
    if sys.argv[1] != "local":
        return
    stack.create_staff(STAFF)
    password = f"Aa1-{secrets.token_urlsafe(9)}"
    stack.client("cognito-idp").admin_set_user_password(
        UserPoolId=stack.outputs["UserPoolId"], Username=STAFF, Password=password, Permanent=True
    )
    print(f"Staff      {STAFF} with the password {password}")


if __name__ == "__main__":
    main()
