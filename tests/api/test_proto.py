"""The protocol's definitions, as server reflection gives them, against those of tritonclient: every
message, field, enum and call that both have must be the same on the wire."""

import grpc
import pytest
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from tritonclient.grpc import model_config_pb2, service_pb2

# What this server has nothing to say for. All other messages must be whole.
LEFT_OUT_OF_CONFIG = {
    "ModelConfig": {"batch_input", "batch_output", "optimization", "sequence_batching",
                    "ensemble_scheduling", "cc_model_filenames", "metric_tags", "model_warmup",
                    "model_operations", "model_repository_agents", "model_metrics"},
    "ModelInstanceGroup": {"rate_limiter", "secondary_devices", "profile", "passive",
                           "host_policy"},
    "ModelInput": {"is_non_linear_format_io"},
    "ModelOutput": {"is_non_linear_format_io"},
}


@pytest.fixture(scope="module")
def pool(server):
    """A pool that asks the server for what it does not have."""
    with grpc.insecure_channel(server.address("grpc")) as channel:
        yield descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))


def walk(messages):
    for message in messages:
        yield message
        yield from walk(message.nested_types)


def enum_values(enum):
    return {value.name: value.number for value in enum.values}


def oneof(field):
    return field.containing_oneof.name if field.containing_oneof else None


def field_facts(field):
    kind = field.message_type or field.enum_type
    return (field.number, field.type, field.is_repeated, field.is_packed,
            kind.full_name if kind else None, oneof(field))


def assert_same_message(ours, theirs, left_out=()):
    wanted = {name: field_facts(field) for name, field in theirs.fields_by_name.items()
              if name not in left_out}
    assert {name: field_facts(field) for name, field in ours.fields_by_name.items()} == wanted
    assert ours.GetOptions().map_entry == theirs.GetOptions().map_entry
    for name, enum in ours.enum_types_by_name.items():
        assert enum_values(enum) == enum_values(theirs.enum_types_by_name[name])


def assert_same_calls(ours, theirs):
    def calls(service):
        return {call.name: (call.input_type.full_name, call.output_type.full_name,
                            call.client_streaming, call.server_streaming)
                for call in service.methods}
    assert calls(ours) == calls(theirs)


def names_of(file):
    return [message.full_name for message in walk(file.message_types_by_name.values())]


@pytest.mark.parametrize("name", names_of(service_pb2.DESCRIPTOR))
def test_a_message_is_tritons(pool, name):
    assert_same_message(pool.FindMessageTypeByName(name),
                        descriptor_pool.Default().FindMessageTypeByName(name))


def test_no_message_is_ours_alone(pool):
    ours = pool.FindFileContainingSymbol("inference.GRPCInferenceService")
    config = pool.FindFileContainingSymbol("inference.ModelConfig")
    assert set(names_of(ours)) == set(names_of(service_pb2.DESCRIPTOR))
    assert set(names_of(config)) <= set(names_of(model_config_pb2.DESCRIPTOR))


def test_what_a_models_configuration_says_is_tritons(pool):
    file = pool.FindFileContainingSymbol("inference.ModelConfig")
    for message in walk(file.message_types_by_name.values()):
        theirs = descriptor_pool.Default().FindMessageTypeByName(message.full_name)
        assert_same_message(message, theirs, LEFT_OUT_OF_CONFIG.get(message.name, ()))
    theirs = model_config_pb2.DESCRIPTOR.enum_types_by_name["DataType"]
    assert enum_values(file.enum_types_by_name["DataType"]) == enum_values(theirs)


def test_the_calls_are_tritons(pool):
    theirs = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert len(theirs.methods) == 20
    assert_same_calls(pool.FindServiceByName("inference.GRPCInferenceService"), theirs)


@pytest.mark.parametrize("theirs", [health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR],
                         ids=["health", "reflection"])
def test_health_and_reflection_are_grpcs(pool, theirs):
    for service in theirs.services_by_name.values():
        ours = pool.FindServiceByName(service.full_name)
        assert_same_calls(ours, service)
    for message in walk(theirs.message_types_by_name.values()):
        assert_same_message(pool.FindMessageTypeByName(message.full_name), message)


def test_both_versions_of_reflection_are_the_same(pool):
    v1 = pool.FindFileContainingSymbol("grpc.reflection.v1.ServerReflection")
    alpha = pool.FindFileContainingSymbol("grpc.reflection.v1alpha.ServerReflection")
    assert set(v1.message_types_by_name) == set(alpha.message_types_by_name)
    for name, message in v1.message_types_by_name.items():
        numbers = {field.name: field.number for field in message.fields}
        assert numbers == {field.name: field.number
                           for field in alpha.message_types_by_name[name].fields}
