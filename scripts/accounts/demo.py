"""Opens an account, signs in as its student, and asks for the account."""

import sys

import requests
from stack import of_environment

STUDENT = {
    "email": "student@school.example",
    "given_name": "Sam",
    "family_name": "Student",
    "date_of_birth": "2006-05-04",
    "programme": "mathematics",
}


def main() -> None:
    stack = of_environment(sys.argv[1])
    answer = requests.post(f"{stack.api_url('accounts')}/accounts", json=STUDENT, timeout=30)
    print(f"POST /accounts                    {answer.status_code}  {STUDENT['email']}")
    answer = stack.sign_in(STUDENT["email"]).request("GET", "/accounts/me", "accounts")
    print(f"GET /accounts/me                  {answer.status_code}  {answer.json()}")
    print(f"API        {stack.api_url('accounts')}")


if __name__ == "__main__":
    main()
