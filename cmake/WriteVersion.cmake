# cmake -DSOURCE=… -DVERSION=… -DOUTPUT=… -P: writes the version header if its text changed.
# INFERD_COMMIT in the environment names the commit where no git history is at hand (an image build).
set(commit "$ENV{INFERD_COMMIT}")
if(NOT commit)
    execute_process(COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD
        OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        set(commit "unknown")
    endif()
endif()
set(text "// Written by the build: do not edit.\n#pragma once\n\n")
string(APPEND text "#define INFERD_VERSION \"${VERSION}\"\n#define INFERD_COMMIT \"${commit}\"\n")
set(old "")
if(EXISTS ${OUTPUT})
    file(READ ${OUTPUT} old)
endif()
if(NOT old STREQUAL text)
    file(WRITE ${OUTPUT} "${text}")
endif()
