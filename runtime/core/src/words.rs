//! What people read: texts of findings in English and Chinese, headings of the runbook, and the list of commands with their classes.
