"""Find the IAM role of an instance."""

from botocore.exceptions import ClientError

from spawn.store.objects.aws import code_of, connect, errors


def roles_of(profile_arn: str, region: str | None, profile: str | None) -> tuple[str, ...]:
    """Return the roles of an instance profile: one, or none if the role was removed.

    Args:
        profile_arn: `arn:aws:iam::111122223333:instance-profile/path/name`.

    Raises:
        Denied: The request is not allowed.
        Unavailable: IAM does not answer.
    """
    with errors("IAM", ""):
        client = connect("iam", region, profile)
        try:
            found = client.get_instance_profile(InstanceProfileName=profile_name(profile_arn))
        except ClientError as error:
            if code_of(error) == "NoSuchEntity":
                return ()
            raise
        return tuple(str(role["RoleName"]) for role in found["InstanceProfile"]["Roles"])


def profile_name(profile_arn: str) -> str:
    """Return the name in an instance profile's ARN."""
    return profile_arn.rpartition("/")[2]
