# Conditions: amounts, limits and times decide together with roles.

actor User {}

resource Department {
  roles = ["clerk", "manager"];

  "clerk" if "manager";
}

resource Invoice {
  permissions = ["read", "approve"];
  relations = { department: Department, submitter: User };

  "read" if "submitter";
  "read" if "clerk" on "department";
}

# A manager approves up to a limit, and never an invoice of their own.
has_permission(user: User, "approve", invoice: Invoice) if
  department matches Department and
  has_relation(invoice, "department", department) and
  has_role(user, "manager", department) and
  has_amount(invoice, amount) and
  has_limit(user, limit) and
  amount <= limit and
  not has_relation(invoice, "submitter", user);

# A deputy is a manager until a time, in seconds since 1970.
has_role(user: User, "manager", department: Department) if
  is_deputy_until(user, department, end) and
  @current_unix_time < end;

test "limits, own invoices and deputies" {
  setup {
    has_role(User{"rosa"}, "manager", Department{"sales"});
    has_limit(User{"rosa"}, 5000);
    is_deputy_until(User{"dan"}, Department{"sales"}, 4102444800); # 2100
    is_deputy_until(User{"old"}, Department{"sales"}, 1577836800); # 2020
    has_limit(User{"dan"}, 1000);
    has_limit(User{"old"}, 1000);
    has_relation(Invoice{"17"}, "department", Department{"sales"});
    has_amount(Invoice{"17"}, 800);
    has_relation(Invoice{"18"}, "department", Department{"sales"});
    has_amount(Invoice{"18"}, 4200);
    has_relation(Invoice{"19"}, "department", Department{"sales"});
    has_amount(Invoice{"19"}, 90);
    has_relation(Invoice{"19"}, "submitter", User{"rosa"});
  }
  assert allow(User{"rosa"}, "approve", invoice: Invoice) iff
    invoice in [Invoice{"17"}, Invoice{"18"}];
  assert allow(User{"dan"}, "approve", invoice: Invoice) iff
    invoice in [Invoice{"17"}, Invoice{"19"}];
  assert_not allow(User{"old"}, "approve", Invoice{"17"});
  assert allow(User{"rosa"}, "read", Invoice{"19"});
}
