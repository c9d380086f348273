# SPDX-License-Identifier: BSD-3-Clause
# nodeshare. Plain GNU make; sources are found by wildcard.
#
#   make            libnodeshare.a, libnodeshare.so, nsh, nodeshare.pc   into $(BUILD)
#   make test       unit tests and MPI tests (installs what is missing, see scripts/deps)
#   make check      make test, and every other build and check that CI runs (installs more)
#   make check-quick  what of that shows most in two minutes; installs nothing
#   make coverage   lines and branches of the library that the tests execute, by gcov; installs
#                   nothing
#   make demo       the quickstart, the word count, the log that all ranks append to, primes, a
#                   matrix product, a study and a simulation that are killed and resumed
#   make bench      CSV files and pictures of nsh bench, in mpi_tests/bench
#   make install    PREFIX=/usr/local DESTDIR= MANDIR=PREFIX/share/man; where there is no doxygen,
#                   without the man pages of section 3
#   make uninstall  the same PREFIX, DESTDIR, MANDIR and MPI_DIRS
#   make doc        HTML and man pages into $(BUILD)/doc, from the headers by Doxygen; fails where
#                   headers, pages and programs disagree
#   make format     clang-format over every source
#   make clean
#   make help       this text
#
# Options, on the command line or in the environment:
#   BUILD=build            where everything that is made goes
#   CC= CFLAGS= LDFLAGS=   compiler and further flags (they come last)
#   MPICC= MPIEXEC=        which MPI; mpicc.mpich and mpiexec.mpich are preferred where they exist.
#                          MPICC is only asked for its flags, CC compiles
#   SAN=address,undefined  sanitizers; also SAN=thread
#   WERROR=1               warnings are errors
#   HDF5=auto|yes|no       nodeshare/file.h: if HDF5 is there, necessarily, not (then its functions
#                          return NSH_ERR_UNSUPPORTED)
#   MPI_DIRS=1             make install for several MPIs side by side: libraries and CMake's files
#                          go to LIBDIR/MPI/lib, and it is nodeshare-MPI.pc and nsh.MPI (MPI: mpich
#                          or openmpi)
#   NSH_FAULTS=1           fault sites are compiled in (NSH_FAULT=site:nth:rank)
#   DOXYGEN=doxygen        what makes HTML and man pages from the headers
#   TESTS="test_a test_b"  run only these tests
#   NSH_TEST_QUICK=1       run each MPI test only once per kind of layout
#   WC_FILE=               the file that make demo counts
#   STUDY_DIR=             the directory tree that make demo compresses (/usr/share/doc)
#   V=1                    show the commands

BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
LIBDIR  ?= $(PREFIX)/lib
MANDIR  ?= $(PREFIX)/share/man
MPI_DIRS ?=
PROVE   ?= prove
WERROR  ?=
SAN     ?=
NSH_FAULTS ?=
HDF5    ?= auto
TESTS   ?=
WC_FILE ?=
STUDY_DIR ?= /usr/share/doc
export STUDY_DIR
CLANG_FORMAT ?= $(firstword $(shell command -v clang-format-14 clang-format) clang-format)

# ---- MPI: ask the wrapper for its flags, so that any CC can compile -------------------------

MPICC   ?= $(notdir $(firstword $(shell command -v mpicc.mpich; command -v mpicc) mpicc))
MPIEXEC ?= $(subst mpicc,mpiexec,$(MPICC))
mpi_show   := $(shell $(MPICC) -show 2>/dev/null)
mpi_words  := $(wordlist 2,$(words $(mpi_show)),$(mpi_show))
mpi_cflags := $(filter -I% -D% -U%,$(mpi_words))
mpi_name    = $(if $(shell $(CC) $(mpi_cflags) -include mpi.h -dM -E -x c /dev/null | \
                grep OPEN_MPI),openmpi,mpich)
mpi_libs   := $(filter-out -I% -D% -U% -O% -g% -f% -m% -std% -pipe -pthread,$(mpi_words))

# ---- HDF5: one that goes with this MPI ------------------------------------------------------

$(shell scripts/probe-hdf5 '$(HDF5)' '$(BUILD)/hdf5.mk' '$(CC)' '$(mpi_cflags)' '$(mpi_libs)')
include $(BUILD)/hdf5.mk
hdf5_define := $(if $(hdf5_libs),-DNSH_HDF5=1)

# ---- flags ----------------------------------------------------------------------------------

version   := $(shell sed -n 's/.*NSH_VERSION_STRING "\(.*\)".*/\1/p' include/nodeshare.h)
major     := $(word 1,$(subst ., ,$(version)))
minor     := $(word 2,$(subst ., ,$(version)))
soversion := $(if $(filter 0,$(major)),0.$(minor),$(major))
soname    := libnodeshare.so.$(soversion)

warnings := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
            -Wpointer-arith -Wvla -Wwrite-strings -Wformat=2 -Wredundant-decls \
            -Wimplicit-fallthrough
own_flags :=
cflags   := -std=c11 -O2 -g -fPIC -fvisibility=hidden -pthread $(warnings)
ldflags  := -pthread
solink   := -Wl,-z,defs
ifneq ($(WERROR),)
cflags  += -Werror
endif
ifneq ($(SAN),)
cflags  += -fsanitize=$(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
ldflags += -fsanitize=$(SAN)
solink  :=
endif
ifneq ($(filter-out 0,$(NSH_FAULTS)),)
cflags  += -DNSH_FAULTS=1
endif
# The library that tests are linked with looks at its invariants; with sanitizers and fault sites
# there is only that one.
asserts  := -DNSH_ASSERTS=1
ifneq ($(SAN)$(filter-out 0,$(NSH_FAULTS)),)
cflags  += $(asserts)
endif
includes := -Iinclude -iquote src -Impi_tests

# "  CC src/x.o" instead of the command, unless V=1; nothing with -s.
say = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@printf '  %-4s %s\n' $(1) $@;)

compile = $(CC) $(cflags) $(includes) $(mpi_cflags) $(own_flags) $(CPPFLAGS) $(CFLAGS)
link    = $(CC) $(ldflags) $(CFLAGS) $(LDFLAGS)

# ---- what is there --------------------------------------------------------------------------

lib_objs := $(patsubst %.c,$(BUILD)/%.o,$(filter-out src/tool/%,$(wildcard src/*/*.c)))
nsh_objs := $(patsubst %.c,$(BUILD)/%.o,$(wildcard src/tool/*.c))
unit_bin := $(patsubst %.c,$(BUILD)/%,$(wildcard test/test_*.c))
mpi_srcs := $(wildcard mpi_tests/test_*.c)
# Tests of failures on purpose need a library that can.
ifeq ($(filter-out 0,$(NSH_FAULTS)),)
mpi_srcs := $(filter-out %_fault.c,$(mpi_srcs))
endif
mpi_bin  := $(patsubst %.c,$(BUILD)/%,$(mpi_srcs))
mpi_sh   := $(wildcard mpi_tests/test_*.sh)
examples := $(patsubst %.c,$(BUILD)/%,$(wildcard mpi_tests/examples/*.c))
chaos_bin := $(BUILD)/mpi_tests/chaos/chaos $(BUILD)/mpi_tests/chaos/driver
lib_a    := $(BUILD)/libnodeshare.a
# Its objects are compiled a second time only where the first ones have no assertions.
test_dir := $(BUILD)$(if $(findstring $(asserts),$(cflags)),,/asserts)
test_a   := $(test_dir)/libnodeshare.a
test_objs := $(patsubst $(BUILD)/%,$(test_dir)/%,$(lib_objs))
lib_so   := $(BUILD)/$(soname)
nsh      := $(if $(nsh_objs),$(BUILD)/nsh)
all_run  := $(unit_bin) $(mpi_bin) $(mpi_sh)
run_bin  := $(if $(TESTS),$(filter $(addprefix %/,$(TESTS)),$(all_run)),$(all_run))

.PHONY: help all tests examples deps test run-tests check check-quick coverage demo run-demo bench \
        run-bench install uninstall doc format clean have-cmocka have-zlib FORCE
.SECONDARY:
.DELETE_ON_ERROR:

all: $(lib_a) $(lib_so) $(BUILD)/libnodeshare.so $(nsh) $(BUILD)/nodeshare.pc

# ---- build ----------------------------------------------------------------------------------

# Both stamps change only when their content does; objects depend on the first, runs on the second.
flags_text := $(compile) // $(ldflags) $(LDFLAGS) $(mpi_libs) // \
              $(hdf5_define) $(hdf5_cflags) $(hdf5_libs)
env_text   := MPIEXEC='$(MPIEXEC)' MPICC='$(MPICC)' SAN='$(SAN)' NSH_FAULTS='$(NSH_FAULTS)' \
              NSH_HDF5='$(if $(hdf5_libs),1)'

$(BUILD)/flags: FORCE
	@missing=; \
	command -v $(firstword $(CC)) >/dev/null || \
	    missing="a C compiler ('$(firstword $(CC))' is not there)"; \
	[ -n "$(mpi_show)" ] || \
	    missing="$${missing:+$$missing and }an MPI ('$(MPICC) -show' does not work)"; \
	if [ -n "$$missing" ]; then \
	    echo "nodeshare needs $$missing." >&2; \
	    echo "scripts/deps installs what is missing; CC= and MPICC= choose others." >&2; exit 1; fi
	@if [ "$(HDF5)" = yes ] && [ -z "$(hdf5_libs)" ]; then \
	    echo "No HDF5: $(hdf5_why). scripts/deps installs one; HDF5=no builds without." >&2; exit 1; fi
	@mkdir -p $(@D)
	@printf '%s\n' '$(flags_text)' | cmp -s - $@ || { printf '%s\n' '$(flags_text)' >$@; \
	    [ "$(HDF5)" != auto ] || [ -n "$(hdf5_libs)" ] || { \
	    echo "No HDF5 ($(hdf5_why)): the functions of nodeshare/file.h will return"; \
	    echo "NSH_ERR_UNSUPPORTED. scripts/deps installs one."; }; }

# What scripts/run-mpi-test needs to know of this build; the MPI is told by the header it uses.
$(BUILD)/mpi.env: $(BUILD)/flags FORCE
	@printf '%s\n' $(foreach word,$(env_text),"$(word)") MPI=$(mpi_name) >$@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(compile) -MMD -MP -c -o $@ $<

ifneq ($(test_dir),$(BUILD))
$(test_dir)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC)$(compile) $(asserts) -MMD -MP -c -o $@ $<

$(test_a): $(test_objs)
	@rm -f $@
	$(call say,AR)$(AR) rcs $@ $^
endif

# What the unit tests and one example need beyond the library.
needs = printf '%s\n' $(1) | $(CC) $(CPPFLAGS) $(CFLAGS) -x c -fsyntax-only - 2>/dev/null || \
    { echo "$(2). scripts/deps installs it." >&2; exit 1; }

have-cmocka:
	@$(call needs,'#include <stdarg.h>' '#include <stddef.h>' '#include <stdint.h>' \
	    '#include <setjmp.h>' '#include <cmocka.h>',The unit tests need cmocka)

have-zlib:
	@$(call needs,'#include <zlib.h>',mpi_tests/examples/study.c needs zlib)

$(addsuffix .o,$(unit_bin)): | have-cmocka
$(BUILD)/mpi_tests/examples/study.o: | have-zlib

# Only these see HDF5. They use the functions of 1.10; later versions have them under this name.
hdf5_srcs := $(wildcard src/file/h5*.c) mpi_tests/test_file_foreign.c mpi_tests/test_file_share.c
$(foreach dir,$(sort $(BUILD) $(test_dir)),$(hdf5_srcs:%.c=$(dir)/%.o)): own_flags := \
    -DH5_USE_110_API $(hdf5_define) $(hdf5_cflags)

# Examples are built as a user would build them.
$(BUILD)/mpi_tests/examples/%.o: includes := -Iinclude

$(lib_a): $(lib_objs)
	@rm -f $@
	$(call say,AR)$(AR) rcs $@ $^

$(lib_so): $(lib_objs)
	$(call say,LINK)$(link) -shared -Wl,-soname,$(soname) $(solink) -o $@ $^ $(hdf5_libs) $(mpi_libs)

$(BUILD)/libnodeshare.so: $(lib_so)
	@ln -sf $(soname) $@

$(BUILD)/nsh: $(nsh_objs) $(lib_a)
	$(call say,LINK)$(link) -o $@ $^ $(hdf5_libs) $(mpi_libs) -lm

$(unit_bin): $(BUILD)/test/%: $(BUILD)/test/%.o $(test_a)
	$(call say,LINK)$(link) -o $@ $^ -lcmocka $(hdf5_libs) $(mpi_libs) -lm

$(mpi_bin): $(BUILD)/mpi_tests/%: $(BUILD)/mpi_tests/%.o $(BUILD)/mpi_tests/check.o \
                                   $(BUILD)/mpi_tests/scratch.o $(test_a)
	$(call say,LINK)$(link) -o $@ $^ $(hdf5_libs) $(mpi_libs) -lm

$(filter %_fault,$(mpi_bin)): $(BUILD)/mpi_tests/walk.o

# The workload of scripts/chaos, and its driver, which is no MPI program.
chaos_objs := $(patsubst %.c,$(BUILD)/%.o,$(filter-out %/driver.c,$(wildcard mpi_tests/chaos/*.c)))

$(BUILD)/mpi_tests/chaos/chaos: $(chaos_objs) $(test_a)
	$(call say,LINK)$(link) -o $@ $^ $(hdf5_libs) $(mpi_libs) -lm

$(BUILD)/mpi_tests/chaos/driver: $(BUILD)/mpi_tests/chaos/driver.o $(BUILD)/mpi_tests/chaos/page.o
	$(call say,LINK)$(link) -o $@ $^

$(BUILD)/mpi_tests/examples/study: example_libs := -lz
$(examples): $(BUILD)/mpi_tests/examples/%: $(BUILD)/mpi_tests/examples/%.o $(lib_a)
	$(call say,LINK)$(link) -o $@ $^ $(example_libs) $(hdf5_libs) $(mpi_libs) -lm

# Needs CC=clang and CFLAGS=-fsanitize=fuzzer-no-link; see scripts/check.
$(BUILD)/test/fuzz_file: $(BUILD)/test/fuzz_file.o $(lib_a)
	$(call say,LINK)$(link) -fsanitize=fuzzer -o $@ $^ $(hdf5_libs) $(mpi_libs) -lm

, := ,

# nodeshare.h includes mpi.h and users call MPI themselves, so its flags are not private. HDF5 is: a
# static link needs it.
fill_in = sed -e 's|@PREFIX@|$(PREFIX)|g' -e 's|@LIBDIR@|$(libdir:$(PREFIX)/%=$${prefix}/%)|g' \
    -e 's|@TO_PREFIX@|$(shell realpath -ms --relative-to=$(cmake_dir) $(PREFIX))|g' \
    -e 's|@RPATH@|$(if $(MPI_DIRS),-Wl$(,)-rpath$(,)$${libdir} )|g' \
    -e 's|@VERSION@|$(version)|g' -e 's|@SONAME@|$(soname)|g' \
    -e 's|@MPI_CFLAGS@|$(mpi_cflags)|g' -e 's|@MPI_LIBS@|$(mpi_libs)|g' \
    -e 's|@HDF5_MODULE@|$(hdf5_module)|g' -e 's|@HDF5_LIBS@|$(strip $(hdf5_libs))|g'

$(BUILD)/nodeshare.pc: scripts/nodeshare.pc.in include/nodeshare.h $(BUILD)/flags
	@$(fill_in) $< >$@

-include $(wildcard $(BUILD)/src/*/*.d $(BUILD)/asserts/src/*/*.d $(BUILD)/test/*.d \
           $(BUILD)/mpi_tests/*.d $(BUILD)/mpi_tests/examples/*.d $(BUILD)/mpi_tests/chaos/*.d)

# ---- run ------------------------------------------------------------------------------------

tests: $(unit_bin) $(mpi_bin) $(chaos_bin) $(BUILD)/mpi.env

examples: $(examples) $(BUILD)/mpi.env

deps:
	@scripts/deps

# The second make sees what scripts/deps has installed.
test: deps
	@+$(MAKE) --no-print-directory run-tests

# With TESTS= only what those need is built; scripts among them run examples.
run_needs := $(filter-out %.sh,$(run_bin)) $(BUILD)/mpi.env
ifneq ($(if $(TESTS),$(filter %.sh,$(run_bin)),all),)
run_needs += tests examples
endif

run-tests: all $(run_needs)
	BUILD='$(BUILD)' $(PROVE) --timer --directives --comments --failures --exec scripts/run-test \
	    $(run_bin)

check:
	@MAKE='$(MAKE)' scripts/check

check-quick:
	@MAKE='$(MAKE)' BUILD='$(BUILD)' scripts/check --quick

coverage:
	@MAKE='$(MAKE)' scripts/coverage

demo: deps
	@+$(MAKE) --no-print-directory run-demo

run-demo: all examples
	@scripts/demo $(BUILD) $(WC_FILE)

bench:
	@scripts/deps --bench
	@+$(MAKE) --no-print-directory run-bench

run-bench: all $(BUILD)/mpi.env
	@scripts/bench $(BUILD) mpi_tests/bench

# ---- install --------------------------------------------------------------------------------

# Those of one MPI each: what a linker finds there is told by nodeshare-MPI.pc.
libdir    = $(LIBDIR)$(if $(MPI_DIRS),/$(mpi_name)/lib)
cmake_dir = $(libdir)/cmake/nodeshare
pc_file   = $(LIBDIR)/pkgconfig/nodeshare$(if $(MPI_DIRS),-$(mpi_name)).pc
nsh_file  = $(PREFIX)/bin/nsh$(if $(MPI_DIRS),.$(mpi_name))

install: all
	install -d $(DESTDIR)$(PREFIX)/include/nodeshare $(DESTDIR)$(LIBDIR)/pkgconfig \
	    $(DESTDIR)$(cmake_dir) $(if $(nsh),$(DESTDIR)$(PREFIX)/bin)
	install -m 644 include/nodeshare.h $(DESTDIR)$(PREFIX)/include
	install -m 644 include/nodeshare/*.h $(DESTDIR)$(PREFIX)/include/nodeshare
	install -m 644 $(lib_a) $(DESTDIR)$(libdir)
	install -m 755 $(lib_so) $(DESTDIR)$(libdir)
	ln -sf $(soname) $(DESTDIR)$(libdir)/libnodeshare.so
	$(if $(nsh),install -m 755 $(nsh) $(DESTDIR)$(nsh_file))
	$(fill_in) scripts/nodeshare.pc.in >$(DESTDIR)$(pc_file)
	$(fill_in) scripts/nodeshare-config.cmake.in >$(DESTDIR)$(cmake_dir)/nodeshare-config.cmake
	$(fill_in) scripts/nodeshare-config-version.cmake.in \
	    >$(DESTDIR)$(cmake_dir)/nodeshare-config-version.cmake
	@scripts/doc/build $(BUILD)/doc
	for section in $(BUILD)/doc/man/*; do \
	    install -d $(DESTDIR)$(MANDIR)/$${section##*/} && \
	    install -m 644 $$section/* $(DESTDIR)$(MANDIR)/$${section##*/} || exit; done

uninstall:
	rm -f $(DESTDIR)$(nsh_file) \
	    $(DESTDIR)$(libdir)/libnodeshare.a $(DESTDIR)$(libdir)/libnodeshare.so \
	    $(DESTDIR)$(libdir)/$(soname) $(DESTDIR)$(pc_file)
	rm -rf $(DESTDIR)$(cmake_dir)
	@# Another MPI's library has the same headers and pages.
	ls $(DESTDIR)$(dir $(pc_file))nodeshare*.pc >/dev/null 2>&1 || { \
	    rm -rf $(DESTDIR)$(PREFIX)/include/nodeshare $(DESTDIR)$(PREFIX)/include/nodeshare.h; \
	    rm -f $(DESTDIR)$(MANDIR)/man1/nsh.1 $(DESTDIR)$(MANDIR)/man7/nodeshare.7 \
	        $(DESTDIR)$(MANDIR)/man3/nodeshare[._]*.3 $(DESTDIR)$(MANDIR)/man3/nsh_*.3; }

# ---- the rest -------------------------------------------------------------------------------

doc: all
	@scripts/doc/build $(BUILD)/doc
	@MPICC='$(MPICC)' scripts/doc/check $(BUILD)
	@echo "$(BUILD)/doc/html/index.html, $(BUILD)/doc/man"

formatted = $(wildcard include/*.h include/*/*.h src/*/*.[ch] test/*.[ch] mpi_tests/*.[ch] \
            mpi_tests/*/*.[ch])

format:
	$(CLANG_FORMAT) -i $(formatted)

clean:
	rm -rf $(BUILD)

# The text at the head of this file.
help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile
