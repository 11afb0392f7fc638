"""When a coach can be booked, beside the hours of the week: single days, holidays, time off, rules of booking."""
