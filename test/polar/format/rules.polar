# --- heads, facts and values
f ( ) ;
f( _ , _x, x : String, user:ns::User , "text" , +3, -4,007, true,User { "ann" } ,Order{1},Flag{ true }, @current_unix_time );
@flag
@other f(x)
if g(x);
type f(x: String);
declare
  f(String, Integer) ; declare g( ) ;
?=f(x)and g("y");
# --- strings are escaped in one way
f("tab	\t, quote \", backslash \\, line \n, zero \0, return \r, other \q, \u{1}");
# --- every condition
f(x) if true=x;
f(x) if x<3 and x<=3 and 3>x and x>=@current_unix_time and x!="a";
f(x) if x in["a",3,User{"u"},] and x in [ ];
f(x) if x matches User and x matches!User;
f(x) if true or false or g() or ok?( x );
f(x) if not g(x) and not not g(x);
# --- parentheses that change nothing go
f(x) if ((g(x)));
f(x) if (g(x) and h(x)) ;
f(x) if not (g(x)) and (not g(x)) and (x = 3);
f(x) if (g(x) or (not ((h(x) or k(x))))) and (k(x));
# --- but an and inside an or gets its own, and groups within their kind keep them
f(x) if a(x) and b(x) or c(x) and (d(x) or e(x));
f(x) if a(x) and (b(x) and c(x)) and ((d(x) or e(x)) or g(x));
# --- conditions that do not fit
has_role(user: User, role: String, repo: Repository) if org matches Organization and has_relation(repo, "organization", org) and has_default_role(org, role);
has_permission(user: User, "read", repo: Repository) if is_public(repo, true) or has_role(user, "reader", repo);
has_permission(user: User, "read", repo: Repository) if is_public(repo, true) or has_role(user, "a", repo);
# --- groups that do not fit
allow(user: User, action: String, document: Document) if has_permission(user, action, document) and (is_public(document) or has_role(user, "member", document) or has_role(user, "administrator", document) and is_active(user)) and not (is_banned(user) or is_suspended(user));
# --- heads that do not fit
has_permission(administrator: Administrator, "organization.members.invite", organization: Organization) if has_role(administrator, "owner", organization);
has_quota(Plan{"professional"}, Feature{"repositories"}, Region{"eu-central"}, 1000000, 2000000, true);
# --- lists that do not fit
f(action) if action in ["document.read", "document.write", "document.comment", "document.share", "document.delete"];
# --- empty lines between conditions stay where the conditions take lines
has_permission(user: User, "read", repo: Repository) if

  org matches Organization and
  has_relation(repo, "organization", org) and


  has_role(user, "member", org)
;
f(x) if g(x) and

h(x);
