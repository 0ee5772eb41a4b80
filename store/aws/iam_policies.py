"""The IAM policies of an instance's role; a test compares them with `docs/iam-policies.md`."""

from typing import Any

Statement = dict[str, Any]


def trust_policy(partition: str) -> dict[str, Any]:
    """Return the trust policy: EC2 instances may assume the role."""
    suffix = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": f"ec2.{suffix}"},
        "Action": "sts:AssumeRole",
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def instance_policy(
    bucket: str, *, partition: str = "aws", environment: str = ""
) -> dict[str, Any]:
    """Return the permissions policy of an instance's role.

    Args:
        environment: ARN of the parameter with the jobs' environment; empty for none.
    """
    statements = _bucket(f"arn:{partition}:s3:::{bucket}")
    statements.append(
        _allow("DescribeOwner", "ec2:DescribeInstances", "*"),
    )
    if environment:
        statements += _environment(environment)
    return {"Version": "2012-10-17", "Statement": statements}


def _bucket(arn: str) -> list[Statement]:
    return [
        _allow("WriteLogAndResults", "s3:PutObject", f"{arn}/*"),
        _allow("ReadLogAndResults", "s3:GetObject", f"{arn}/*"),
        _allow("ListBucket", "s3:ListBucket", arn),
        _allow(
            "AbortUploads",
            ["s3:AbortMultipartUpload", "s3:ListBucketMultipartUploads"],
            [arn, f"{arn}/*"],
        ),
    ]


def _environment(parameter: str) -> list[Statement]:
    partition, _, region, account = parameter.split(":")[1:5]
    suffix = "amazonaws.com.cn" if partition == "aws-cn" else "amazonaws.com"
    decrypt = _allow(
        "DecryptTheEnvironment", "kms:Decrypt", f"arn:{partition}:kms:{region}:{account}:key/*"
    )
    decrypt["Condition"] = {
        "StringEquals": {"kms:ViaService": f"ssm.{region}.{suffix}"},
        "ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/aws/ssm"},
    }
    return [_allow("ReadTheEnvironment", "ssm:GetParameter", parameter), decrypt]


def _allow(sid: str, action: str | list[str], resource: str | list[str]) -> Statement:
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource}
