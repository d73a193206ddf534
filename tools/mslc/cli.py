# SPDX-License-Identifier: MIT
"""The command line: `mslc translate`, `mslc strict` and `mslc embed`."""

import argparse
import json
import pathlib
import sys

from mslc import attributes, checks, declarations, embed, emit, kernels, strict, table, tokens


def translate(path, clang, include_folders=(), definitions=()):
    """(translated text, argument table, files read) of one .metal file."""
    text = tokens.preprocess(path, clang, include_folders, definitions)
    plain, found = attributes.extract(tokens.tokenize(text))
    checks.check_tokens(plain)
    declared = declarations.scan(plain)
    constants = kernels.find_function_constants(plain, found, declared)
    functions = kernels.find_kernels(plain, found, declared)
    instantiations = kernels.find_instantiations(plain, found, declared, functions)
    checks.check_records(plain, declared)
    checks.check_unique(instantiations, constants)
    for kernel in functions.values():
        checks.check_kernel(kernel, constants)
    translation = emit.Translation(plain, declared, functions, constants)
    translation.run()
    stem = pathlib.Path(path).name.split(".")[0]
    described = table.describe(instantiations, constants, translation.threadgroup_variables,
                               table.Types(plain, declared))
    files = sorted({token.file for token in plain})
    return emit.write(translation, instantiations, stem), described, files


def _run_translate(options):
    text, described, files = translate(options.source, options.clang, options.include,
                                       options.define)
    pathlib.Path(options.output).write_text(text, encoding="utf-8")
    if options.table:
        pathlib.Path(options.table).write_text(json.dumps(described, indent=1) + "\n",
                                               encoding="utf-8")
    if options.depfile:
        escaped = " ".join(name.replace(" ", "\\ ") for name in files)
        pathlib.Path(options.depfile).write_text(f"{options.output}: {escaped}\n",
                                                 encoding="utf-8")
    return 0


def _run_strict(options):
    return strict.run(options.source, options.clang, options.include, options.define, translate)


def _run_embed(options):
    sources = [(pathlib.Path(source).stem, embed.inline(source, options.include))
               for source in options.sources]
    pathlib.Path(options.output).write_text(embed.write(sources), encoding="utf-8")
    return 0


def main(arguments):
    parser = argparse.ArgumentParser(prog="mslc", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, function in (("translate", _run_translate), ("strict", _run_strict)):
        command = commands.add_parser(name)
        command.set_defaults(function=function)
        command.add_argument("source", help="the .metal file; messages name it as given")
        command.add_argument("--clang", default="clang++",
                             help="translate: any clang from 14 on; strict: clang 22")
        command.add_argument("-I", dest="include", action="append", default=[], metavar="FOLDER")
        command.add_argument("-D", dest="define", action="append", default=[], metavar="NAME=VALUE")
    translation = commands.choices["translate"]
    translation.add_argument("-o", "--output", required=True)
    translation.add_argument("--table", help="where the argument table goes, as JSON")
    translation.add_argument("--depfile", help="where the files read are listed, for make")
    embedding = commands.add_parser("embed")
    embedding.set_defaults(function=_run_embed)
    embedding.add_argument("sources", nargs="+", help="the .metal files")
    embedding.add_argument("-I", dest="include", required=True, metavar="FOLDER",
                           help="where the headers in quotes are")
    embedding.add_argument("-o", "--output", required=True)
    options = parser.parse_args(arguments)
    try:
        return options.function(options)
    except (tokens.MslError, tokens.PreprocessorError) as error:
        print(error, file=sys.stderr)
        return 1
