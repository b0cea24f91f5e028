/*
 * The server headers that pgrx does not bind, for bindgen (see build.rs).
 *
 * What pgrx has is taken from pgrx; what is generated from here is listed in build.rs, item by item.
 */
#include "postgres.h"

#include "libpq/auth.h"
#include "libpq/hba.h"
#include "libpq/libpq-be.h"
#include "libpq/libpq.h"
#include "miscadmin.h"
#include "regex/regex.h"
