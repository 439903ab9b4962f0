"""Tries one permission, as `make permissions` tries each."""

import permissions
from appointments.booking import book, cancel, offer
from rooms import DEPLOYED
from stack import Stack, Student

SLOT = "2090-03-04T09:00:00Z"


def test_a_permission_that_is_taken_away_is_refused_until_it_is_put_back(
    stack: Stack, staff: Student, student: Student, advisor: str, local_cloud: None
) -> None:
    deployed = permissions.Deployed(stack)
    assert offer(staff, advisor, SLOT).status_code == 201
    [cancelling] = [
        permission
        for room in DEPLOYED
        for permission in permissions.permissions(room)
        if (permission.granted_by, permission.statement) == ("ApiRole", "Cancel")
    ]
    assert book(student, advisor, SLOT).status_code == 201
    with deployed.without(cancelling):
        deployed.used()
        assert cancel(student, advisor, SLOT).status_code >= 500
        assert deployed.is_refused(cancelling, deployed.used())
    assert cancel(student, advisor, SLOT).status_code == 204
