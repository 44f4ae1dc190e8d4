//! How people arranged their dashboards.

use crate::world::*;
use camlock_policy::Layouts;
use camlock_testing::trial;

#[trial(with = crate::on_each_database)]
async fn a_layout_is_kept_by_the_name_of_a_token_and_every_server_knows_it(world: World) {
    let (one, two) = (world.open("one").await, world.open("two").await);
    let (here, there) = (one.store.layouts(), two.store.layouts());
    let of = async |token: &str| there.layout(token.to_owned()).await.unwrap();
    assert_eq!(of("ada").await, None);
    let keep = async |token: &str, layout: Option<&str>| {
        here.keep(token.to_owned(), layout.map(str::to_owned)).await.unwrap();
    };
    keep("ada", Some("{\"widgets\":[]}")).await;
    keep("grace", Some("it's \"hers\"")).await;
    assert_eq!(of("ada").await.as_deref(), Some("{\"widgets\":[]}"));
    keep("ada", Some("{}")).await;
    assert_eq!(of("ada").await.as_deref(), Some("{}"));
    keep("ada", None).await;
    assert_eq!((of("ada").await, of("grace").await.as_deref()), (None, Some("it's \"hers\"")));
}
