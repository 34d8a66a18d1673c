"""As much of grpcurl as the documents use: the definitions come from the server's reflection.

grpcurl.py -plaintext [-H HEADER] [-d JSON] ADDRESS (list | SERVICE/METHOD)
"""

import argparse

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-plaintext", action="store_true", required=True)
    parser.add_argument("-H", action="append", default=[], dest="headers")
    parser.add_argument("-d", default="{}", dest="data")
    parser.add_argument("address")
    parser.add_argument("what")
    options = parser.parse_args()
    with grpc.insecure_channel(options.address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        if options.what == "list":
            print("\n".join(sorted(database.get_services())))
            return
        service, _, name = options.what.partition("/")
        pool = descriptor_pool.DescriptorPool(database)
        method = pool.FindServiceByName(service).FindMethodByName(name)
        request = message_factory.GetMessageClass(method.input_type)
        answer = message_factory.GetMessageClass(method.output_type)
        call = channel.unary_unary(f"/{options.what}", request.SerializeToString,
                                   answer.FromString)
        headers = [header.split(": ", 1) for header in options.headers]
        print(json_format.MessageToJson(
            call(json_format.Parse(options.data, request()), timeout=20,
                 metadata=[(key.lower(), value) for key, value in headers])))


if __name__ == "__main__":
    main()
