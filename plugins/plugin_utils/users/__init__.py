"""Pure functions about users, groups and limits, on the controller. Internal: no stable interface."""
