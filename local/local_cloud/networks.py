"""A VPC of a stack has the attribute ``CidrBlock``, which MiniStack lacks. No traffic is checked."""

from typing import Any

from ministack.services.cloudformation import provisioners

Properties = dict[str, Any]


def install() -> None:
    handlers = provisioners._RESOURCE_HANDLERS["AWS::EC2::VPC"]
    create_vpc, update_vpc = handlers["create"], handlers["update"]

    def create(logical_id: str, properties: Properties, stack_name: str) -> Any:
        vpc, attributes = create_vpc(logical_id, properties, stack_name)
        return vpc, attributes | {"CidrBlock": properties["CidrBlock"]}

    def update(vpc: str, old: Properties, new: Properties, *more: Any) -> Any:
        vpc, attributes = update_vpc(vpc, old, new, *more)
        return vpc, attributes | {"CidrBlock": new["CidrBlock"]}

    provisioners._RESOURCE_HANDLERS["AWS::EC2::VPC"] = handlers | {"create": create, "update": update}
