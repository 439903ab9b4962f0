"""Cancels a student's appointments, past ones included, and deletes what the tables have of the student.

The archive keeps its rows: docs/appointments/forget.md. If the command is stopped, it can be started again.
"""

import argparse
import sys
from typing import Any

from stack import Stack, of_environment


def forget(stack: Stack, student_id: str) -> tuple[int, int]:
    """Returns the numbers of cancelled appointments and of deleted months."""
    dynamodb = stack.client("dynamodb")
    tables = [stack.outputs[f"{name}TableName"] for name in ("Appointments", "Slots", "StudentMonths")]
    appointments, slots, months = tables
    student = {":student_id": {"S": student_id}}

    def items(table: str, **query: Any) -> list[dict[str, Any]]:
        pages = dynamodb.get_paginator("query").paginate(
            TableName=table,
            KeyConditionExpression="student_id = :student_id",
            ExpressionAttributeValues=student,
            **query,
        )
        return [item for page in pages for item in page["Items"]]

    booked = items(appointments, IndexName="by-student")
    for item in booked:
        key = {name: item[name] for name in ("advisor_id", "starts_at")}
        of_student = {"ConditionExpression": "student_id = :student_id", "ExpressionAttributeValues": student}
        writes = [{"Delete": {"TableName": appointments, "Key": key} | of_student}]
        # DynamoDB has deleted the slots of long ago.
        if "Item" in dynamodb.get_item(TableName=slots, Key=key):
            update = "SET free_at = starts_at REMOVE student_id, student_email, topic ADD changes :one"
            free = of_student | {
                "UpdateExpression": update,
                "ExpressionAttributeValues": student | {":one": {"N": "1"}},
            }
            writes.append({"Update": {"TableName": slots, "Key": key} | free})
        dynamodb.transact_write_items(TransactItems=writes)
    counted = items(months)
    for item in counted:
        dynamodb.delete_item(TableName=months, Key={name: item[name] for name in ("student_id", "month")})
    return len(booked), len(counted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("environment")
    parser.add_argument("--student-id")
    arguments = parser.parse_args()
    stack = of_environment(arguments.environment)
    if not arguments.student_id:
        sys.exit("STUDENT_ID is the student's custom:student_id in the user pool.")
    booked, counted = forget(stack, arguments.student_id)
    print(f"{booked} appointments cancelled, {counted} months deleted")


if __name__ == "__main__":
    main()
