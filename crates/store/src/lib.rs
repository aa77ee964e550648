//! Where runs are kept: the logs of runs, and an index over them in SQLite or PostgreSQL.
